// a BigInt read from ten million digits
export default function handle(input) {
  BigInt('9'.repeat(1e7)).toString(7)
}
