import { decrypt } from 'resource-data'

// https://learn.microsoft.com/graph/api/resources/changenotificationcollection
export default function handle({ data, parameters }) {
  return { events: data.value.map((item) => one(item, data, parameters)), response: { status: 202 } }
}

// The client state is a secret, so it is not passed on.
function one({ clientState, encryptedContent, ...item }, { validationTokens }, { privateKey }) {
  const kind = item.resourceData?.['@odata.type']?.split('.').pop() ?? 'resource'
  const type = item.lifecycleEvent
    ? `lifecycle.${item.lifecycleEvent}`
    : `${kind[0].toLowerCase()}${kind.slice(1)}.${item.changeType}`
  const payload = item
  if (encryptedContent) {
    if (!validationTokens?.length) throw new HttpError(400, 'a notification has resource data, and no token that vouches for it')
    if (privateKey) payload.decryptedContent = decrypt(encryptedContent, [].concat(privateKey))
    else payload.encryptedContent = encryptedContent
  }
  const selector = [type, item.tenantId, item.subscriptionId].filter(Boolean).join('/')
  return { id: identity(item), type, selector, payload }
}

// Not all resources give notifications an id; an ETag names one state of one resource.
function identity({ id, subscriptionId, changeType, resource, resourceData }) {
  if (id) return id
  const etag = resourceData?.['@odata.etag']
  return etag && [subscriptionId, changeType, resource, etag].join(' ')
}
