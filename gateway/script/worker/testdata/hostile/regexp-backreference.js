// backtracking with a backreference
export default function handle(input) {
  /^(x+x+)+\1y/.test('x'.repeat(60))
}
