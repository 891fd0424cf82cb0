// backtracking in a lookbehind
export default function handle(input) {
  /(?<=(x+x+)+)y/.test('x'.repeat(60) + 'y')
}
