import type { AnyDefinition } from '../component/define.ts';

type Method = (...args: never[]) => unknown;

/** Stands around calls of a component's methods: `call` makes the call. */
export type Around = (method: string, args: readonly unknown[], call: () => unknown) => unknown;

/** The definition, with `made` told of each instance and `around` of each call that the engine makes. */
export function watched(
  definition: AnyDefinition,
  { made, around }: { made?: (instance: object) => void; around?: Around },
): AnyDefinition {
  return {
    ...definition,
    create(config, context) {
      const instance = definition.create(config, context) as object;
      made?.(instance);
      return around === undefined ? instance : proxied(instance, around);
    },
  };
}

function proxied(instance: object, around: Around): object {
  return new Proxy(instance, {
    get(target, name) {
      // With the target as `this`, so that it reaches its private fields.
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function' || typeof name !== 'string') return value;
      return (...args: unknown[]) =>
        around(name, args, () => (value as Method).apply(target, args as never[]));
    },
  });
}
