/**
 * Whether a URL that a user gives may be reached, and at which address.
 *
 * - `http` and `https` only, without credentials in the URL.
 * - The host is of this machine (`localhost`, `127.0.0.0/8`, `::1`), or on the caller's list of hosts.
 * - Its name is resolved once, and what is connected to is that address: a name that is answered otherwise later leads
 *   nowhere else. A host of the list must not lead into a private network, nor to this machine, unless that is allowed.
 */
import { BlockList, isIP } from 'node:net'
import { StratalogError } from '../base/errors.ts'

export interface HttpRules {
  /** Host names or addresses, with a port (`host:8080`) for that port alone. */
  readonly hosts: readonly string[]
  /** Whether they may have an address of a private network. */
  readonly allowPrivate: boolean
}

export interface HttpTarget {
  readonly url: URL
  readonly address: string
  readonly family: 4 | 6
}

export type ResolveHost = (host: string) => Promise<readonly { address: string; family: number }[]>

/** @throws StratalogError `url_invalid`, `sink_unavailable` for a name without an address. */
export async function resolveHttpTarget(
  text: string,
  { hosts, allowPrivate }: HttpRules,
  resolve: ResolveHost = lookUp,
): Promise<HttpTarget> {
  const url = parseUrl(text)
  const host = hostOf(url)
  const isLocal = host === 'localhost' || isLoopback(host)
  if (!isLocal && !isListed(url, host, hosts)) {
    throw refused(
      url,
      `its host ${host} is not of this machine and not on the list of allowed hosts`,
    )
  }
  const addresses = isIP(host) === 0 ? await resolved(url, host, resolve) : [host]
  for (const address of addresses) {
    const isAllowed = isLocal ? isLoopback(address) : allowPrivate || !isPrivate(address)
    if (!isAllowed || isNowhere(address)) {
      const what = isNowhere(address) ? 'is no address of one host' : 'is of a private network'
      throw refused(url, `${host} leads to ${address}, which ${what}`)
    }
  }
  const [address = host] = addresses
  return { url, address, family: isIP(address) === 6 ? 6 : 4 }
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !['http:', 'https:'].includes(url.protocol))
    throw new StratalogError('url_invalid', `${JSON.stringify(text)} is no http or https URL.`)
  if (url.username !== '' || url.password !== '')
    throw refused(url, 'it holds credentials; give them in a header')
  return url
}

/** Whether the host of a URL is on a list, this machine not excepted. @throws StratalogError `url_invalid`. */
export function isListedUrl(text: string, hosts: readonly string[]): boolean {
  const url = parseUrl(text)
  return isListed(url, hostOf(url), hosts)
}

function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, '').toLowerCase()
}

function isListed({ protocol, port }: URL, host: string, hosts: readonly string[]): boolean {
  const usedPort = port === '' ? (protocol === 'https:' ? '443' : '80') : port
  const names = [host, `${host}:${usedPort}`, `[${host}]`, `[${host}]:${usedPort}`]
  return hosts.some((listed) => names.includes(listed.toLowerCase()))
}

async function resolved(url: URL, host: string, resolve: ResolveHost): Promise<readonly string[]> {
  try {
    return (await resolve(host)).map(({ address }) => address)
  } catch (error) {
    throw new StratalogError('sink_unavailable', `${url.host} has no address.`, {
      cause: error,
      details: { url: url.origin },
    })
  }
}

/** The module is loaded with the first name: no start waits for it. */
const lookUp: ResolveHost = (host) =>
  process.getBuiltinModule('node:dns/promises').lookup(host, { all: true })

function refused(url: URL, reason: string): StratalogError {
  return new StratalogError('url_invalid', `${url.origin} may not be reached: ${reason}.`, {
    details: { url: url.origin, reason },
  })
}

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8)
LOOPBACK.addAddress('::1', 'ipv6')

const PRIVATE = new BlockList()
for (const [net, prefix] of [
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
] as const)
  PRIVATE.addSubnet(net, prefix)
PRIVATE.addSubnet('fc00::', 7, 'ipv6')
PRIVATE.addSubnet('fe80::', 10, 'ipv6')
// Addresses of IPv4 in those of IPv6, beside those that are mapped, which a list looks at by itself.
PRIVATE.addSubnet('64:ff9b::', 96, 'ipv6')
PRIVATE.addSubnet('2002::', 16, 'ipv6')

/** Unspecified, multicast and broadcast. */
const NOWHERE = new BlockList()
NOWHERE.addSubnet('0.0.0.0', 8)
NOWHERE.addSubnet('224.0.0.0', 3)
NOWHERE.addAddress('::', 'ipv6')
NOWHERE.addSubnet('ff00::', 8, 'ipv6')

function isIn(list: BlockList, address: string): boolean {
  const family = isIP(address)
  return family !== 0 && list.check(address, family === 6 ? 'ipv6' : 'ipv4')
}

function isLoopback(address: string): boolean {
  return isIn(LOOPBACK, address)
}

function isPrivate(address: string): boolean {
  return isLoopback(address) || isIn(PRIVATE, address)
}

function isNowhere(address: string): boolean {
  return isIn(NOWHERE, address)
}
