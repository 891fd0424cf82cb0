// a hundred thousand response headers
export default function handle(input) {
  return { response: { headers: Object.fromEntries(Array.from({ length: 1e5 }, (_, i) => ['h' + i, 'v'])) } }
}
