// JSON nested 5,000,000 deep, parsed
export default function handle(input) {
  JSON.parse('['.repeat(5e6) + ']'.repeat(5e6))
}
