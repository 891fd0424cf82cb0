// a selector of 100 MB
export default function handle(input) {
  return { events: [{ selector: 'x'.repeat(1e8), payload: 1 }] }
}
