// eval of a loop
export default function handle(input) {
  eval('for (;;);')
}
