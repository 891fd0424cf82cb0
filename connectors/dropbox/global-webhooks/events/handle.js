// A notification names the accounts whose files changed, and not the files.
export default function handle({ data }) {
  const accounts = data?.list_folder?.accounts
  if (!Array.isArray(accounts)) throw new HttpError(400, 'the body is not a notification of Dropbox')
  const type = 'list_folder'
  return { events: accounts.map((account) => ({ type, selector: `${type}/${account}`, payload: account })) }
}
