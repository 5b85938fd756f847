#!/usr/bin/env node
// Plain, old JavaScript: it has to run on a Node that is too old for the rest, to say so.
var required = [22, 18];
var found = process.versions.node.split('.').map(Number);

if (found[0] < required[0] || (found[0] === required[0] && found[1] < required[1])) {
  process.stderr.write(
    'millrace needs Node.js ' +
      required.join('.') +
      ' or newer, and this is ' +
      process.versions.node +
      '.\n' +
      'Install a newer one (https://nodejs.org), or run it with the one that npm can fetch:\n' +
      '  npx --package=node@24 --package=millrace millrace ...\n' +
      'In a clone of the repository, `npm start` and `./millrace` use node_modules/node/bin/node.\n',
  );
  process.exitCode = 1;
} else {
  // From the first moment: Node would open its debugger. What is loaded says what its signals do.
  process.on('SIGUSR1', function () {});
  import('../dist/main.js').then(
    function (main) {
      return main.runProcess();
    },
    function (error) {
      var missing = error && error.code === 'ERR_MODULE_NOT_FOUND' && /dist.main\.js/.test(error.message);
      process.stderr.write(
        missing
          ? 'millrace is not built: dist/main.js is missing. Run `npm run build`.\n'
          : String(error.stack) + '\n',
      );
      process.exitCode = 1;
    },
  );
}
