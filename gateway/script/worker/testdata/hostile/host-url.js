// URLs of many megabytes
export default function handle(input) {
  const s = 'https://a.example/' + '../%2e%2e/'.repeat(1e6)
  for (;;) new URL(s)
}
