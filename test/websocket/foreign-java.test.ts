import { expect, test } from 'vitest';
import { startEngine } from '../support/engine.ts';
import { tempDir } from '../support/temp-dir.ts';
import { java } from '../support/tools.ts';

const dir = tempDir();

/** Connects with the client of `java.net.http`, sends the given messages, and prints the events. */
const program = dir.file(
  'Client.java',
  `
import java.net.URI;
import java.net.http.*;
import java.nio.ByteBuffer;
import java.util.concurrent.*;

public class Client implements WebSocket.Listener {
  private final StringBuilder text = new StringBuilder();
  private int binary = 0;
  private final BlockingQueue<String> seen = new LinkedBlockingQueue<>();

  public CompletionStage<?> onText(WebSocket socket, CharSequence part, boolean last) {
    text.append(part);
    if (last) {
      seen.add(text.length() > 100 ? "text of " + text.length() : "text " + text);
      text.setLength(0);
    }
    socket.request(1);
    return null;
  }
  public CompletionStage<?> onBinary(WebSocket socket, ByteBuffer part, boolean last) {
    binary += part.remaining();
    if (last) {
      seen.add("binary of " + binary);
      binary = 0;
    }
    socket.request(1);
    return null;
  }
  public CompletionStage<?> onPong(WebSocket socket, ByteBuffer data) {
    seen.add("pong of " + data.remaining());
    socket.request(1);
    return null;
  }
  public CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
    seen.add("closed " + code + " " + reason);
    return null;
  }
  public void onError(WebSocket socket, Throwable error) {
    seen.add("error " + error);
  }
  private void print(int count) throws Exception {
    for (int each = 0; each < count; each++) System.out.println(seen.take());
  }

  public static void main(String[] args) throws Exception {
    URI url = URI.create(args[0]);
    HttpClient http = HttpClient.newHttpClient();
    // HTTP/2 is what it would rather speak: it offers the upgrade to it with every request in the clear.
    HttpRequest plain = HttpRequest.newBuilder(URI.create(args[0].replace("ws:", "http:"))).build();
    System.out.println("plain " + http.send(plain, HttpResponse.BodyHandlers.ofString()).statusCode());
    try {
      http.newWebSocketBuilder().buildAsync(url, new Client()).join();
    } catch (CompletionException refused) {
      HttpResponse<?> answer = ((WebSocketHandshakeException) refused.getCause()).getResponse();
      System.out.println("refused " + answer.statusCode() + " " + answer.headers().firstValue("www-authenticate").get());
    }
    for (int round = 0; round < 3; round++) {
      Client client = new Client();
      WebSocket socket = http.newWebSocketBuilder().header("Authorization", "Bearer t0ken").subprotocols("v1", "v2")
          .buildAsync(url, client).join();
      System.out.println("protocol " + socket.getSubprotocol());
      client.print(1);
      if (round == 0) {
        socket.sendText("gr\\u00fc\\u00dfe \\ud83d\\ude00".repeat(2), true).join();
        for (String part : new String[] {"in ", "three ", ""}) socket.sendText(part, false).join();
        socket.sendText("parts", true).join();
        socket.sendBinary(ByteBuffer.allocate(300_000), true).join();
        socket.sendText("x".repeat(500_000), true).join();
        socket.sendPing(ByteBuffer.allocate(125)).join();
        client.print(5);
        socket.sendClose(4321, "bye").join();
      }
      if (round == 1) socket.sendText("x".repeat(1_100_000), true);
      if (round == 2) System.out.println("waiting");
      client.print(1);
    }
    System.exit(0);
  }
}
`,
);

test('Java’s client: refused, welcomed, answered, too long, and told goodbye', async () => {
  const run = await startEngine(`
streams:
  - input:
      type: websocket
      mode: server
      host: 127.0.0.1
      port: 0
      protocols: [v2, v1]
      auth: { type: bearer, tokens: ["t0ken java"] }
      welcome: "hello {{meta:subject}}"
      drain: { code: 1012 }
    output: { type: websocket, mode: reply }
`);
  const client = java(program, await run.url());
  await client.line(/^waiting/);
  await run.stop();
  await client.line(/^closed 1012/);
  const welcome = ['protocol v2', 'text hello java'];
  const { lines } = client;
  expect(lines.slice(0, 4)).toEqual(['plain 426', 'refused 401 Bearer realm="millrace"', ...welcome]);
  // The pong goes ahead of the output's waiting messages.
  expect(lines.slice(4, 9).filter((line) => line !== 'pong of 125')).toEqual([
    'text grüße 😀grüße 😀',
    'text in three parts',
    'binary of 300000',
    'text of 500000',
  ]);
  expect(lines[9]).toBe('closed 4321 bye');
  expect(lines.slice(10)).toEqual([
    ...welcome,
    'closed 1009 ',
    ...welcome,
    'waiting',
    'closed 1012 service restart',
  ]);
  expect(run.log.find(({ code }) => code === 4321)?.msg).toBe('connection closed with 4321 bye');
}, 60_000);
