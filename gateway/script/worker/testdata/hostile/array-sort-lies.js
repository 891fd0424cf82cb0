// sort with a comparison that lies
export default function handle(input) {
  const a = Array.from({ length: 1e6 }, (_, i) => i)
  for (;;) a.sort(() => Math.random() - 0.5)
}
