import { z } from 'zod';
import type { ComponentConfig } from './context.ts';
import type {
  AnyDefinition,
  BufferDefinition,
  CodecDefinition,
  ComponentSchemas,
  FramingDefinition,
  InputDefinition,
  Kind,
  OutputDefinition,
  ProcessorDefinition,
} from './define.ts';
import { framingFields } from './framing/framing-fields.ts';
import { outputName, queue, retry } from './output-fields.ts';

interface DefinitionOf {
  input: InputDefinition;
  output: OutputDefinition;
  processor: ProcessorDefinition;
  buffer: BufferDefinition;
  framing: FramingDefinition;
  codec: CodecDefinition;
}

/** The components that a file can name. A plain value, handed to each part that needs it. */
export class Registry {
  /** For each kind, the schema of a component of that kind in a file, told apart by `type`. */
  readonly schemas: ComponentSchemas;
  readonly #definitions: ReadonlyMap<string, AnyDefinition>;

  /** @throws Error when two definitions have the same kind and type */
  constructor(definitions: readonly AnyDefinition[]) {
    const byKey = new Map<string, AnyDefinition>();
    for (const definition of definitions) {
      const key = `${definition.kind} ${definition.type}`;
      if (byKey.has(key)) throw new Error(`${key} is defined twice`);
      byKey.set(key, definition);
    }
    this.#definitions = byKey;
    const kind = (name: Kind): z.ZodType => z.lazy(() => this.#union(name)).meta({ id: name });
    this.schemas = {
      input: kind('input'),
      buffer: kind('buffer'),
      processor: kind('processor'),
      output: kind('output'),
      framing: kind('framing'),
      codec: kind('codec'),
    };
  }

  /** This registry with more components. @throws Error when it already has one of them */
  with(definitions: readonly AnyDefinition[]): Registry {
    return new Registry([...this.#definitions.values(), ...definitions]);
  }

  list<K extends Kind>(kind: K): readonly DefinitionOf[K][] {
    return [...this.#definitions.values()].filter((each) => each.kind === kind) as never;
  }

  /** @throws Error when there is none; a validated file names only components that exist */
  get<K extends Kind>(kind: K, type: string): DefinitionOf[K] {
    const definition =
      this.#definitions.get(`${kind} ${type}`) ??
      (kind === 'processor' ? this.#definitions.get(`buffer ${type}`) : undefined);
    if (definition === undefined) throw new Error(`no ${kind} is called ${type}`);
    return definition as never;
  }

  /** Whether a processor of this type is a buffer. */
  isBuffer(type: string): boolean {
    return this.#definitions.has(`buffer ${type}`);
  }

  /** Whether messages of this input, or of the inputs that it joins, are bytes that no codec reads. */
  givesBytes({ type, codec, inputs }: ComponentConfig): boolean {
    if (codec !== undefined) return false;
    if (Array.isArray(inputs)) return (inputs as ComponentConfig[]).every((each) => this.givesBytes(each));
    return this.#definitions.get(`input ${type}`)?.givesBytes === true;
  }

  /** The whole schema of one component: `type`, its own fields, and those of its kind. */
  schemaOf(definition: AnyDefinition): z.ZodType {
    const own = typeof definition.schema === 'function' ? definition.schema(this.schemas) : definition.schema;
    const shape: Record<string, z.ZodType> = { type: z.literal(definition.type) };
    if (definition.kind === 'input') {
      shape['name'] = z
        .string()
        .min(1)
        .optional()
        .meta({ shown: true })
        .describe('The value of `__meta_source`, instead of the address.');
    }
    if (definition.kind === 'input' || definition.kind === 'output') {
      // A registry that an embedder made may have none.
      const framed = definition.framing !== 'none' && this.list('framing').length > 0;
      if (framed) shape['framing'] = this.#framingOf(definition);
      shape['codec'] = this.schemas.codec
        .optional()
        .describe('How payloads are read or written. Without a codec, they pass unchanged.');
    }
    if (definition.kind === 'output') this.#addOutputFields(own, shape);
    if (definition.kind === 'framing') {
      // Compression alone needs no `type`.
      if (definition.type === 'none') shape['type'] = z.literal('none').optional();
      Object.assign(shape, framingFields);
    }
    return withFields(own, shape);
  }

  /** The fields of every output. A `name` of its own keeps its meaning; the others must be the engine's. */
  #addOutputFields(own: z.ZodType, shape: Record<string, z.ZodType>): void {
    if (!hasField(own, 'name')) shape['name'] = outputName;
    shape['retry'] = retry.optional();
    shape['queue'] = queue.optional();
    shape['error_output'] = this.schemas.output
      .optional()
      .describe(
        'Where messages go that this output refuses or gives up, instead of the `error_output` of the stream. It may have an `error_output` of its own.',
      );
  }

  #framingOf({ kind, framing }: AnyDefinition): z.ZodType {
    const field =
      framing === 'stream' ? this.schemas.framing.prefault('lines') : this.schemas.framing.optional();
    return field.describe(
      kind === 'input'
        ? 'How the received bytes are split into messages, before the codec: a type, such as `lines`, or an object with its fields. Without it, each message stays as it came.'
        : 'How messages are joined into the bytes to send, after the codec: a type, such as `lines`, or an object with its fields. Without it, each message is sent by itself.',
    );
  }

  /** A framing that needs no fields can be written as one word. */
  #shortFramings(): z.ZodType[] {
    const words = this.list('framing').filter(
      (each) => this.schemaOf(each).safeParse({ type: each.type }).success,
    );
    const types = words.map(({ type }) => type);
    if (types.length === 0) return [];
    const error = `not a framing that needs no fields; expected ${types.join(', ')}, or an object with a \`type\``;
    const word = z.enum(types, { error: ({ input }) => (typeof input === 'string' ? error : undefined) });
    return [word.transform((type) => this.schemaOf(this.get('framing', type)).parse({ type }))];
  }

  readonly #unions = new Map<Kind, z.ZodType>();

  #union(kind: Kind): z.ZodType {
    let union = this.#unions.get(kind);
    if (union === undefined) {
      // A buffer is a processor that keeps messages.
      const kinds: readonly Kind[] = kind === 'processor' ? ['processor', 'buffer'] : [kind];
      const definitions = kinds.flatMap((each): readonly AnyDefinition[] => this.list(each));
      const options = definitions.map((definition) => this.schemaOf(definition));
      union = z.discriminatedUnion('type', options as unknown as [z.ZodObject]);
      if (kind === 'framing') union = z.union([...this.#shortFramings(), union]);
      this.#unions.set(kind, union);
    }
    return union;
  }
}

function hasField(schema: z.core.$ZodType, name: string): boolean {
  if (schema instanceof z.ZodObject) return Object.hasOwn(schema.shape, name);
  if (schema instanceof z.ZodPipe) return hasField(schema.in, name);
  return schema instanceof z.ZodDiscriminatedUnion && schema.options.some((each) => hasField(each, name));
}

/** The schema of a component with fields that are not its own. */
function withFields(schema: z.core.$ZodType, shape: Readonly<Record<string, z.ZodType>>): z.ZodType {
  if (schema instanceof z.ZodObject) return schema.safeExtend(shape).strict();
  if (schema instanceof z.ZodPipe) return withFields(schema.in, shape).pipe(schema.out);
  if (schema instanceof z.ZodDiscriminatedUnion) {
    const options = schema.options.map((option) => withFields(option, shape));
    return z.discriminatedUnion(schema.def.discriminator, options as [z.ZodObject]);
  }
  throw new Error('the schema of a component is an object, `settings`, or a discriminated union of them');
}
