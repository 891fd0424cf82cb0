// https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/http-protocol-binding.md
export default function handle({ data, headers, rawBytes }) {
  const mode = (headers['content-type'] ?? '').toLowerCase()
  if (mode.startsWith('application/cloudevents-batch')) {
    if (!Array.isArray(data)) throw new HttpError(400, 'the body is not a list of CloudEvents')
    return { events: data.map((event, i) => one(event, `event ${i} of the body`)) }
  }
  if (mode.startsWith('application/cloudevents')) return { events: [one(data, 'the body')] }
  return { events: [one(binary(headers, data, rawBytes), 'the request')] }
}

// In binary mode the body is the data, and the attributes are headers.
function binary(headers, data, rawBytes) {
  const event = {}
  for (const name of Object.keys(headers)) {
    if (name.startsWith('ce-')) event[name.slice(3)] = decode(headers[name])
  }
  if (headers['content-type']) event.datacontenttype = headers['content-type']
  if (data !== undefined) event.data = data
  else if (rawBytes.length > 0) event.data_base64 = Buffer.from(rawBytes).toString('base64')
  return event
}

function decode(text) {
  try {
    return decodeURIComponent(text)
  } catch {
    return text // a percent sign that is not encoded
  }
}

// The id is unique within the source.
function one(event, where) {
  for (const name of ['id', 'source', 'type']) {
    if (typeof event?.[name] !== 'string' || !event[name]) throw new HttpError(400, `${where} has no ${name}, so it is no CloudEvent`)
  }
  const source = event.source.replace(/^[a-z][a-z0-9+.-]*:\/\//i, '').replace(/^\/+/, '') || '-'
  return { id: `${event.source} ${event.id}`, type: event.type, selector: `${event.type}/${source}`, payload: event }
}
