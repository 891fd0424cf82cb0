type Return = { number: string; reason?: string }

module.exports = async ({ data }: { data: Return }) => ({
  events: [{ selector: `return:${data.number}`, payload: data }],
})
