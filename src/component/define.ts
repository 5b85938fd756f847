import type { z } from 'zod';
import type { Context } from './context.ts';
import type { Codec, Input, Output, Processor } from './contracts.ts';
import type { Framing } from './framing/framing.ts';

/** The role of a component in a stream. */
export type Kind = 'input' | 'buffer' | 'processor' | 'output' | 'framing' | 'codec';

/** Every kind, in the order in which lists show them. */
export const kinds: readonly Kind[] = ['input', 'buffer', 'processor', 'output', 'framing', 'codec'];

/** The instance that a definition of each kind creates. */
export interface Instances {
  readonly input: Input;
  readonly buffer: Processor;
  readonly processor: Processor;
  readonly output: Output;
  readonly framing: Framing;
  readonly codec: Codec;
}

/** Schemas of other components, for a schema that nests them (`multiple_inputs`). */
export type ComponentSchemas = { readonly [K in Kind]: z.ZodType };

/** The part that applies the `framing` of a component: see `Definition.framing`. */
export type FramingUse = 'own' | 'stream' | 'none';

/**
 * A component as it is declared. `schema` has all its own fields, without `type` and the fields that every component
 * of its kind has. It is an object of zod's; one of `settings`, whose checks can tell a default from a given value;
 * or, for a component with modes, a discriminated union of such objects.
 */
export interface Definition<S extends z.ZodType, Instance> {
  /** Its name in the file, snake_case. */
  readonly type: string;
  /** One sentence, for `millrace list` and the reference page. */
  readonly summary: string;
  readonly status: 'stable' | 'beta';
  /** Markdown for its reference page, beyond its fields. */
  readonly description?: string;
  readonly schema: S | ((components: ComponentSchemas) => S);
  /**
   * The part that applies the `framing` of an input or an output. Without it, the engine does: each message of the
   * component is a frame. `own`: the component does, with `openUnframer` or `openFramer`. `stream`: so does the
   * component, and its bytes are one stream, of lines unless the file says otherwise. `none`: it has no bytes of its
   * own, and no such field.
   */
  readonly framing?: FramingUse;
  /** For an input: true if its messages are bytes unless it has a codec, so that they have no fields for SQL. */
  readonly givesBytes?: boolean;
  /** The component's value in a file, in YAML; a test loads each. */
  readonly examples: readonly { readonly title: string; readonly yaml: string }[];
  create(config: z.output<S>, context: Context): Instance;
}

/** A definition whose config type is not known here. */
export interface AnyDefinition<Instance = unknown> {
  readonly kind: Kind;
  readonly type: string;
  readonly summary: string;
  readonly status: 'stable' | 'beta';
  readonly description?: string;
  readonly framing?: FramingUse;
  readonly givesBytes?: boolean;
  readonly schema: z.ZodType | ((components: ComponentSchemas) => z.ZodType);
  readonly examples: readonly { readonly title: string; readonly yaml: string }[];
  create(config: never, context: Context): Instance;
}

export type InputDefinition = AnyDefinition<Input> & { readonly kind: 'input' };
/** The result of `defineOutput`. */
export type OutputDefinition = AnyDefinition<Output> & { readonly kind: 'output' };
export type ProcessorDefinition = AnyDefinition<Processor> & { readonly kind: 'processor' };
export type BufferDefinition = AnyDefinition<Processor> & { readonly kind: 'buffer' };
export type FramingDefinition = AnyDefinition<Framing> & { readonly kind: 'framing' };
export type CodecDefinition = AnyDefinition<Codec> & { readonly kind: 'codec' };

/** Declares an input: where messages come from. `create` gets the checked fields and a `Context`. */
export function defineInput<S extends z.ZodType>(d: Definition<S, Input>): InputDefinition {
  return defined({ kind: 'input', ...d });
}
/** Declares an output: where messages go. `create` gets the checked fields and a `Context`. */
export function defineOutput<S extends z.ZodType>(d: Definition<S, Output>): OutputDefinition {
  return defined({ kind: 'output', ...d });
}
/** Declares a processor: a batch in, batches out. `create` gets the checked fields and a `Context`. */
export function defineProcessor<S extends z.ZodType>(d: Definition<S, Processor>): ProcessorDefinition {
  return defined({ kind: 'processor', ...d });
}
/**
 * Declares a buffer: a processor that keeps messages for a while. A file names it under `buffer:`, or among the processors.
 * `create` gets the checked fields and a `Context`.
 */
export function defineBuffer<S extends z.ZodType>(d: Definition<S, Processor>): BufferDefinition {
  return defined({ kind: 'buffer', ...d });
}
/** Declares a framing: how messages lie in bytes. `create` gets the checked fields and a `Context`. */
export function defineFraming<S extends z.ZodType>(d: Definition<S, Framing>): FramingDefinition {
  return defined({ kind: 'framing', ...d });
}
/** Declares a codec: it checks what an input receives, and writes what an output sends. `create` gets the checked fields and a `Context`. */
export function defineCodec<S extends z.ZodType>(d: Definition<S, Codec>): CodecDefinition {
  return defined({ kind: 'codec', ...d });
}

const all = new WeakSet<object>();

function defined<D extends AnyDefinition>(definition: D): D {
  all.add(definition);
  return definition;
}

/** Whether `value` comes from one of the functions above. */
export function isDefinition(value: unknown): value is AnyDefinition {
  return typeof value === 'object' && value !== null && all.has(value);
}
