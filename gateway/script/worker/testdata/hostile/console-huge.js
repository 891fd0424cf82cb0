// printing of huge values
export default function handle(input) {
  const o = {}
  for (let i = 0; i < 1e5; i++) o['k' + i] = 'x'.repeat(1000)
  for (;;) console.log(o, o, o)
}
