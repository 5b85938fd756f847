/**
 * Node's HTTP. An `import` of `node:http` reads each of its exports, also the getters among them, and those load all of
 * `fetch`: 45 ms and 14 MB at every start.
 */
export const http = process.getBuiltinModule('node:http');
