import { describe, expect, test } from 'vitest'
import { type ResolveHost, resolveHttpTarget } from '../../../src/storage/http-target.ts'
import { expectError } from '../../support/expect-error.ts'

const NOTHING_LISTED = { hosts: [], allowPrivate: false }

function names(...addresses: readonly string[]): ResolveHost {
  return async () => addresses.map((address) => ({ address, family: 4 }))
}

describe('an HTTP target', () => {
  test('of this machine may be reached', async () => {
    for (const url of ['http://127.0.0.1:8080/x', 'http://127.9.9.9', 'http://[::1]:80/'])
      expect(await resolveHttpTarget(url, NOTHING_LISTED)).toMatchObject({ url: new URL(url) })
    const local = await resolveHttpTarget('http://localhost/', NOTHING_LISTED, names('127.0.0.1'))
    expect(local).toMatchObject({ address: '127.0.0.1', family: 4 })
  })

  test('of another host needs to be on the list, with its port where that names one', async () => {
    const resolve = names('93.184.215.14')
    const url = 'https://hooks.example.com/in'
    await expectError(resolveHttpTarget(url, NOTHING_LISTED, resolve), 'url_invalid')
    for (const listed of ['hooks.example.com', 'HOOKS.example.com:443']) {
      const rules = { hosts: [listed], allowPrivate: false }
      expect((await resolveHttpTarget(url, rules, resolve)).address).toBe('93.184.215.14')
    }
    const otherPort = { hosts: ['hooks.example.com:8443'], allowPrivate: false }
    await expectError(resolveHttpTarget(url, otherPort, resolve), 'url_invalid')
  })

  test.each([
    '10.1.2.3',
    '172.16.0.1',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '127.0.0.1',
    '::1',
    'fd00::1',
    'fe80::1',
    '::ffff:10.0.0.1',
    '::ffff:169.254.169.254',
    '64:ff9b::a00:1',
  ])('is refused when its name leads to %s, unless private ones are allowed', async (address) => {
    const hosts = ['inside.example.com']
    const resolve = names('93.184.215.14', address)
    const url = 'http://inside.example.com/'
    const refused = resolveHttpTarget(url, { hosts, allowPrivate: false }, resolve)
    await expectError(refused, 'url_invalid')
    await resolveHttpTarget(url, { hosts, allowPrivate: true }, resolve)
  })

  test('is refused when localhost leads elsewhere', async () => {
    const refused = resolveHttpTarget('http://localhost/', NOTHING_LISTED, names('93.184.215.14'))
    await expectError(refused, 'url_invalid')
  })

  test.each([
    'ftp://127.0.0.1/',
    'file:///etc/passwd',
    'nonsense',
    'http://user:word@127.0.0.1/',
    'http://0.0.0.0/',
    'http://[::]/',
    'http://2130706433.example.com/',
  ])('%s is refused', async (url) => {
    await expectError(resolveHttpTarget(url, NOTHING_LISTED, names('1.1.1.1')), 'url_invalid')
  })

  test('that is written otherwise is the address that it means', async () => {
    const target = await resolveHttpTarget('http://2130706433/', NOTHING_LISTED)
    expect(target.address).toBe('127.0.0.1')
    await expectError(resolveHttpTarget('http://0x0a000001/', NOTHING_LISTED), 'url_invalid')
  })

  test('without an address is unavailable', async () => {
    const rules = { hosts: ['nowhere.example.com'], allowPrivate: false }
    const resolve: ResolveHost = () => Promise.reject(new Error('ENOTFOUND'))
    const opening = resolveHttpTarget('http://nowhere.example.com/', rules, resolve)
    await expectError(opening, 'sink_unavailable')
  })
})
