// flat of arrays 1,000,000 deep
export default function handle(input) {
  let a = []
  for (let i = 0; i < 1e6; i++) a = [a]
  a.flat(Infinity)
}
