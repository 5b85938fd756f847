import { setTimeout as pause } from 'node:timers/promises';
import { parse } from 'yaml';
import { secretsIn } from '../config/validate.ts';
import { errorMessage } from '../errors.ts';
import { has, type CaseOf } from './case-of.ts';
import { exercise } from './exercise.ts';
import { heldAtRest, moreThan, watchingTimers, type Held } from './leftovers.ts';
import { must } from './messages.ts';
import type { Patience } from './patience.ts';
import { inRig, patienceOf, registryWith, STREAM, type Rig, type Tried } from './rig.ts';
import type { Fields } from './subject.ts';

const LATER_MS = 10;
const UNKNOWN = 'field_of_nobody';

/** The cases of every kind. */
export const everyCases: readonly CaseOf[] = [
  {
    name: 'the examples of its definition load',
    run: (tried) => inRig(tried, (rig) => examplesLoad(rig, tried)),
  },
  { name: 'a field that it does not have is a mistake', run: (tried) => inRig(tried, refusesUnknown) },
  {
    name: 'prepare does not need the peer, and leaves nothing behind',
    run: (tried) => watchingTimers(() => preparesQuietly(tried)),
  },
  {
    name: 'a mistake is reported before anything runs',
    lacks: has('mistake'),
    run: (tried) => inRig(tried, reportsMistake),
  },
  {
    name: 'no secret of its fields is in logs, metrics, readiness, mistakes or metadata',
    lacks: (tried) =>
      secretsOf(tried, tried.subject.config).length > 0
        ? undefined
        : 'a value for a secret field in `config`',
    run: (tried) => inRig(tried, (rig) => showsNoSecret(rig, tried)),
  },
  {
    name: 'its metrics go with its stream',
    run: (tried) => inRig(tried, (rig) => releasesMetrics(rig, tried)),
  },
  {
    name: 'no timer, socket, server or open file is left after its end',
    run: (tried) => watchingTimers(() => leavesNothing(tried)),
  },
];

async function examplesLoad(rig: Rig, { definition }: Tried): Promise<void> {
  must(definition.examples.length > 0, 'it has no example');
  for (const { title, yaml } of definition.examples) {
    const names = Array.from(yaml.matchAll(/\$\{(\w+)/g), ([, name]) => name!);
    rig.env = Object.fromEntries(names.map((name) => [name, `value-of-${name}`]));
    await rig.load(parse(yaml) as Fields).catch((error: unknown) => {
      throw new Error(`the example “${title}” does not load: ${errorMessage(error)}`, { cause: error });
    });
  }
}

async function refusesUnknown(rig: Rig): Promise<void> {
  const mistakes = await mistakesOf(rig, { ...rig.component, [UNKNOWN]: 1 });
  must(mistakes.includes(UNKNOWN), `the field ${UNKNOWN} is taken${mistakes === '' ? '' : `: ${mistakes}`}`);
}

async function preparesQuietly(tried: Tried): Promise<void> {
  const prepare = async (rig: Rig): Promise<void> => {
    // Whatever it talks to need not be there.
    await tried.subject.peer?.stop();
    const before = await heldAtRest();
    const engine = await rig.idle();
    const problems = await rig.patience.ends('prepare', engine.prepare());
    must(problems.length === 0, `it reports mistakes: ${problems.map(({ message }) => message).join('; ')}`);
    await engine.close();
    await nothingMoreThan(before, rig.patience);
  };
  // The first time, whatever is made once for the whole process is made.
  await inRig(tried, (rig) => rig.idle().then(async (engine) => void (await engine.prepare())));
  await inRig(tried, prepare);
}

async function reportsMistake(rig: Rig): Promise<void> {
  const mistakes = await mistakesOf(rig, { ...rig.component, ...rig.subject.mistake });
  must(mistakes !== '', 'the mistake is not reported by loading the file, nor by prepare');
}

/** The mistakes that loading the file, making the component and preparing it report. */
async function mistakesOf(rig: Rig, component: Fields): Promise<string> {
  try {
    const engine = await rig.idle(component);
    const problems = await rig.patience.ends('prepare', engine.prepare());
    await engine.close();
    return problems.map(({ message }) => message).join('\n');
  } catch (error) {
    return errorMessage(error);
  }
}

function secretsOf({ definition, subject }: Tried, fields: Fields = {}): string[] {
  const { schemas } = registryWith(definition, subject.also);
  return secretsIn(schemas[definition.kind], { type: definition.type, ...fields })
    .flatMap(secretParts)
    .filter(({ length }) => length > 2);
}

/** Of a URL only its credentials and the values of its query are secret. */
function secretParts(text: string): string[] {
  if (!URL.canParse(text)) return [text];
  const { username, password, searchParams } = new URL(text);
  return [username, password, ...searchParams.values()];
}

async function showsNoSecret(rig: Rig, tried: Tried): Promise<void> {
  const secrets = secretsOf(tried, rig.component);
  const shown: string[] = [await mistakesOf(rig, { ...rig.component, [UNKNOWN]: 1 })];
  const look = async (): Promise<void> => {
    shown.push(JSON.stringify(rig.engine.health()), await rig.engine.metrics.registry.metrics());
  };
  await rig.run();
  await look();
  await rig.connected();
  await exercise(rig, tried.definition.kind);
  await look();
  await tried.subject.peer?.stop();
  await look();
  shown.push(
    rig.log,
    JSON.stringify(rig.sink.metadata.map(({ source, ext, key }) => ({ source, ext, key }))),
  );
  for (const secret of secrets) {
    const where = shown.find((text) => text.includes(secret));
    must(where === undefined, `a secret is shown: ${around(where ?? '', secret)}`);
  }
}

/** The secret with some text on both sides. */
function around(text: string, secret: string): string {
  const at = text.indexOf(secret);
  return text.slice(Math.max(0, at - 80), at + secret.length + 40);
}

async function releasesMetrics(rig: Rig, { definition }: Tried): Promise<void> {
  await rig.runConnected();
  await exercise(rig, definition.kind);
  const series = async (): Promise<string[]> =>
    (await rig.engine.metrics.registry.metrics())
      .split('\n')
      .filter((line) => line.includes(`stream="${STREAM}"`));
  must((await series()).length > 0, 'there are no metrics of the stream');
  await rig.drained();
  // A component that goes on counting after its end may do so a little later.
  await pause(LATER_MS);
  const left = await series();
  must(left.length === 0, `they are still there: ${left.slice(0, 5).join('; ')}`);
}

async function leavesNothing(tried: Tried): Promise<void> {
  const life = async (rig: Rig): Promise<void> => {
    await rig.runConnected();
    await exercise(rig, tried.definition.kind);
    await rig.drained();
  };
  // The first time, whatever is made once for the whole process is made.
  await inRig(tried, life);
  const before = await heldAtRest();
  await inRig(tried, life);
  await nothingMoreThan(before, patienceOf(tried.subject));
}

/** A resource that has ended may take a moment to go. */
async function nothingMoreThan(before: Held, patience: Patience): Promise<void> {
  let left: readonly string[] = [];
  await patience.until(
    'nothing is left',
    async () => (left = await moreThan(before)).length === 0,
    () => `Still there: ${left.join(', ')}`,
  );
}
