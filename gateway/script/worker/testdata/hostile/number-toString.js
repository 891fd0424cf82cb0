// numbers in all radixes, for ever
export default function handle(input) {
  for (;;) for (let r = 2; r < 37; r++) (Number.MAX_VALUE).toString(r)
}
