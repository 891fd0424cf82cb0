// waiting by the clock
export default function handle(input) {
  const end = Date.now() + 1e9
  while (Date.now() < end);
}
