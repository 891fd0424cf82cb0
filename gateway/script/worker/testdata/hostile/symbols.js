// symbols without end
export default function handle(input) {
  for (let i = 0; ; i++) Symbol.for('x'.repeat(1000) + i)
}
