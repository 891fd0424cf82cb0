// a response of 100 MB
export default function handle(input) {
  return { response: { data: 'x'.repeat(1e8) } }
}
