// replaceAll of nothing by much
export default function handle(input) {
  return 'x'.repeat(1e6).replaceAll('', 'y'.repeat(1e5))
}
