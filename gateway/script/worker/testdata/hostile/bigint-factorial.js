// a factorial without end
export default function handle(input) {
  let f = 1n
  for (let i = 1n; ; i++) f *= i
}
