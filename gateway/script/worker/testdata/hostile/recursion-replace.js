// replace within its own callback
export default function handle(input) {
  const f = s => s.replace(/x/g, () => f('xxxxxxxxxxxxxxxx'))
  f('x')
}
