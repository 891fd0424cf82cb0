import { decrypt } from 'resource-data'

// https://learn.microsoft.com/graph/api/resources/changenotificationcollection
export default function handle({ data, parameters }) {
  return { events: data.value.map((item) => one(item, data, parameters.privateKey)), response: { status: 202 } }
}

function one(item, { validationTokens }, privateKey) {
  const kind = item.resourceData?.['@odata.type']?.split('.').pop() ?? 'resource'
  const type = item.lifecycleEvent
    ? `lifecycle.${item.lifecycleEvent}`
    : `${kind[0].toLowerCase()}${kind.slice(1)}.${item.changeType}`
  if (item.encryptedContent && !validationTokens?.length) {
    throw new HttpError(400, 'a notification has resource data, and no token that vouches for it')
  }
  const selector = [type, item.tenantId, item.subscriptionId].filter(Boolean).join('/')
  return { id: identity(item), type, selector, payload: item.encryptedContent && privateKey ? decrypted(item, [].concat(privateKey)) : item }
}

function decrypted({ encryptedContent, ...item }, privateKeys) {
  return { ...item, decryptedContent: decrypt(encryptedContent, privateKeys) }
}

// Not all resources give notifications an id; an ETag names one state of one resource.
function identity({ id, subscriptionId, changeType, resource, resourceData }) {
  if (id) return id
  const etag = resourceData?.['@odata.etag']
  return etag && [subscriptionId, changeType, resource, etag].join(' ')
}
