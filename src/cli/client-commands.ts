import { Option, type Command } from 'commander';
import {
  codecs,
  addClientOptions,
  addSendingOptions,
  attemptsOption,
  connectionHelp,
  positiveInteger,
  repeated,
} from './client-options.ts';
import type { SendOptions } from './send.ts';
import type { Shell } from './shell.ts';
import type { TailOptions } from './tail.ts';

const sendHelp = `${connectionHelp}

Examples:
  $ millrace send ws://localhost:8080/in readings.jsonl
  $ tail -f app.log | millrace send wss://hub.example.com/in --bearer-file token --reconnect
  $ millrace send localhost:8080/in -m '{"id":1}' -m '{"id":2}' --wait 2s
  $ millrace send localhost:8080/in -m ping --count 100000 --rate 5000
  $ millrace send localhost:8080/in orders.jsonl --id id --ack ack.id --reconnect
  $ millrace send localhost:8080/in photo.jpg --split none --binary

Without acknowledgements, "sent" means that the operating system took the message and that the server answered the
close at the end, which a server does once it has read everything. --reconnect then sends again everything that was not
written when the connection was lost: a message may arrive twice, and messages that the network held may be lost. With
--id and --ack, it sends unacknowledged messages again.
Exit codes: 0 all sent and acknowledged, 1 a failure, 2 a mistake on the command line.`;

const tailHelp = `
Codecs:
  auto    text unchanged, binary in base64; text with a line break inside as JSON, so that each line is one message
  text    every message unchanged
  json    every message as JSON: unchanged if it is JSON, otherwise as a string (base64 if it is not text)
  base64  every message in base64
  raw     every message unchanged, without a line break after it
${connectionHelp}

Examples:
  $ millrace tail wss://feed.example.com/trades --send '{"op":"subscribe","channel":"trades"}'
  $ millrace tail localhost:8080/feed --count 10
  $ millrace tail wss://feed.example.com/trades --codec json --metadata | jq .payload.price
  $ millrace tail https://feed.example.com/x -H 'X-Key: {{env:FEED_KEY}}' > feed.txt

The first connection must succeed. If it is lost later, tail reconnects. --reconnect also retries the first one;
--no-reconnect never retries. With --attempts, tail gives up after that many failures in a row. Ctrl-C closes the
connection and ends.
Exit codes: 0 ended by Ctrl-C, --count, a reader that went away or, with --no-reconnect, a normal close by the server;
1 a failure, 2 a mistake on the command line.`;

/** Adds `send` and `tail`. `done` is told the exit code. */
export function addClientCommands(program: Command, shell: Shell, done: (code: number) => void): void {
  addClientOptions(
    addSendingOptions(
      program
        .command('send')
        .description('send each line of a file or of stdin to a WebSocket server, as a message')
        .argument('<url>', 'the server')
        .argument('[file]', 'the file; without it, or with -, stdin')
        .addOption(repeated('-m, --message <text>', 'send this text instead of a file or stdin; repeatable'))
        .option('--binary', 'send binary messages')
        .addOption(
          new Option('--split <how>', 'make a message of each line of the input, or of all of it (none)')
            .choices(['lines', 'none'])
            .default('lines'),
        )
        .option('--count <n>', 'send this many messages, repeating the input', positiveInteger)
        .option(
          '--wait <duration>',
          'print the server’s messages, and stay this long after the last one is sent',
        ),
    ),
  )
    .addHelpText('after', sendHelp)
    .action(async (url: string, file: string | undefined, options: SendOptions) => {
      const { sendCommand } = await import('./send.ts');
      done(await sendCommand(shell, url, file, options));
    });

  addClientOptions(
    program
      .command('tail')
      .description('print the messages of a WebSocket server, one a line')
      .argument('<url>', 'the server')
      .addOption(
        new Option('--codec <codec>', 'how to print a message, see below').choices(codecs).default('auto'),
      )
      .option('--metadata', 'print JSON: payload, encoding and metadata')
      .option('--count <n>', 'end after this many messages', positiveInteger)
      .addOption(
        repeated('--send <text>', 'send this after each connect, such as a subscription; repeatable'),
      )
      .option('--reconnect', 'also retry the first connection')
      .option('--no-reconnect', 'end when the connection is lost')
      .addOption(attemptsOption()),
  )
    .addHelpText('after', tailHelp)
    .action(async (url: string, options: TailOptions) => {
      const { tailCommand } = await import('./tail.ts');
      done(await tailCommand(shell, url, options));
    });
}
