import type { ComponentConfig, Context } from '../context.ts';
import { Framer } from './framer.ts';
import type { FramingBounds } from './framing-fields.ts';
import { Unframer } from './unframer.ts';

/** The field `framing` of a component, as its schema has parsed it. */
type Framed = object;

type FramingConfig = Partial<ComponentConfig> & FramingBounds;

/** Finds the messages of an input in its frames; undefined if its configuration has no `framing`. */
export function openUnframer(config: Framed, context: Pick<Context, 'open'>): Unframer | undefined {
  const framing = framingOf(config);
  return framing && new Unframer(context.open('framing', framing), framing);
}

/** Puts the messages of an output into frames; undefined if its configuration has no `framing`. */
export function openFramer(config: Framed, context: Pick<Context, 'open'>): Framer | undefined {
  const framing = framingOf(config);
  return framing && new Framer(context.open('framing', framing), framing);
}

function framingOf(config: Framed): (ComponentConfig & FramingBounds) | undefined {
  const { framing } = config as { readonly framing?: FramingConfig };
  // Compression alone applies to frames of one message each.
  return framing && { ...framing, type: framing.type ?? 'none' };
}
