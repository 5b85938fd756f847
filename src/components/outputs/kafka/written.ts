import type { ProduceResult } from '@platformatic/kafka';
import { errorsIn } from '../../../clients/kafka/faults.ts';
import type { KafkaRecord } from './records.ts';

/** The part of an answer that says what has become of each partition. */
interface Answer {
  readonly responses?: readonly {
    readonly name: string;
    readonly partitionResponses: readonly { readonly index: number; readonly errorCode: number }[];
  }[];
}

/** Which records are in their partitions, although the request as a whole has failed. */
export function writtenIn(error: unknown): (record: KafkaRecord) => boolean {
  const written = new Set<string>();
  for (const { produced, response } of errorsIn(error)) {
    for (const { topic, partition } of (produced as ProduceResult | undefined)?.offsets ?? [])
      written.add(`${topic}:${partition}`);
    for (const { name, partitionResponses } of (response as Answer | undefined)?.responses ?? [])
      for (const { index, errorCode } of partitionResponses)
        if (errorCode === 0) written.add(`${name}:${index}`);
  }
  return ({ topic, partition }) => written.has(`${topic}:${partition}`);
}
