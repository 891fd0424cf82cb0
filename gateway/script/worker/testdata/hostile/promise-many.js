// promises without end
export default function handle(input) {
  const l = []
  for (;;) l.push(new Promise(() => {}))
}
