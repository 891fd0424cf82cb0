// printing with a million directives
export default function handle(input) {
  console.log('%s%d%o'.repeat(1e6), ...new Array(1e5).fill({}))
  for (;;) console.log('%o'.repeat(1e5), ...new Array(1e5).fill([[[]]]))
}
