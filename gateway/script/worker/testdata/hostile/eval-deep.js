// eval of an expression nested 1,000,000 deep
export default function handle(input) {
  eval('('.repeat(1e6) + '1' + ')'.repeat(1e6))
}
