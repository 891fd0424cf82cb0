// sorting long texts by locale
export default function handle(input) {
  const a = Array.from({ length: 1e4 }, (_, i) => 'ä'.repeat(1e4) + i)
  a.sort((x, y) => x.localeCompare(y))
}
