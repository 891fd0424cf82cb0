// Answers, for each line {"payload", "filter"} on standard input, whether the npm
// package simple-json-match says that the payload matches: true, false, or "threw".
//
//   node hookdeck.js FOLDER      FOLDER has the package in its node_modules
const path = require('node:path');
const match = require(require.resolve('simple-json-match', { paths: [path.resolve(process.argv[2])] })).default;

const answers = require('node:fs').readFileSync(0, 'utf8').split('\n').filter(Boolean).map((line) => {
  const { payload, filter } = JSON.parse(line);
  try {
    return JSON.stringify(match(payload, filter));
  } catch {
    return '"threw"';
  }
});
process.stdout.write(answers.join('\n') + '\n');
