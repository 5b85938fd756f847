/** Millrace as a library: run an engine, define a component. */

export * from './component-api.ts';
export { errorCodes } from './cli/error-codes.ts';
export { Registry } from './component/registry.ts';
export { components, registry } from './components/index.ts';
export { configJsonSchema } from './config/json-schema.ts';
export type { ConfigFormat, LoadedConfig, LoadOptions, ParseOptions } from './config/load.ts';
export { loadConfig, parseConfig } from './config/load.ts';
export type { Problem } from './config/problem.ts';
export { ConfigError } from './config/problem.ts';
export { Engine } from './runtime/engine.ts';
export type { EnginePlan, StreamPlan } from './runtime/plan.ts';
export type { PrepareProblem } from './runtime/member.ts';
export type { Sample, Tap, TapOptions, TapStage } from './runtime/tap.ts';
