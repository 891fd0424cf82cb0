// split into many million parts
export default function handle(input) {
  const l = []
  for (;;) l.push('x'.repeat(1e7).split(''))
}
