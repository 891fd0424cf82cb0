// join with a long separator
export default function handle(input) {
  return new Array(1e6).join('x'.repeat(1e6))
}
