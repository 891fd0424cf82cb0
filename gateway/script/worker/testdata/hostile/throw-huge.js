// an error with a message of 200 MB
export default function handle(input) {
  throw new Error('x'.repeat(2e8))
}
