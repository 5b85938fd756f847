/** Whatever a test of a component needs: `millrace/testing`. */

export { Conformance, conformance } from './testing/conformance.ts';
export type { Case, Fields, LeftOut, Peer, Subject } from './testing/subject.ts';
