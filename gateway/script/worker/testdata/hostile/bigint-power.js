// a BigInt with 10^9 digits
export default function handle(input) {
  return { events: [{ selector: String(10n ** BigInt(1e9)), payload: 1 }] }
}
