/**
 * @param {Switchhook.Request} request
 * @returns {Promise<Switchhook.Result>}
 */
export default async function handle({ data, headers }) {
  const items = Array.isArray(data) ? data : [data]
  return { events: items.map((item) => ({ selector: `${headers['x-topic']}/${item?.id}`, payload: item })) }
}
