// backtracking in a lookahead
export default function handle(input) {
  /^(?=(x+x+)+y)/.test('x'.repeat(60))
}
