/** What a job may reach: the server's own archive and what the operator allowed, and nothing beside it. */
import { describe, expect, test } from 'vitest'
import { type JobRules, JobPlaces } from '../../../src/server/jobs/job-places.ts'

const NOTHING: JobRules = {
  archives: [],
  folder: null,
  hosts: [],
  allowPrivate: false,
  queryIsolation: 'thread',
}
const OWN = { archive: 'file:///srv/archive', snapshots: 's3://snapshots/shop' }

function places(rules: Partial<JobRules> = {}): JobPlaces {
  return new JobPlaces({ ...NOTHING, ...rules }, OWN)
}

describe('archives', () => {
  test('are the own one where none is named, and by each of its names', () => {
    const own = { url: 'file:///srv/archive', isOwn: true }
    expect(places().archive(undefined)).toEqual(own)
    for (const url of ['file:///srv/archive', 'file:///srv/archive/', 'file:///srv/x/../archive'])
      expect(places().archive(url)).toEqual(own)
    expect(places().archive('s3://snapshots/shop')).toMatchObject({ isOwn: true })
  })

  test('have to be named where the server has none', () => {
    expect(() => new JobPlaces(NOTHING, {}).archive(undefined)).toThrow('no archive of its own')
  })

  test('are those of the list, and below them', () => {
    const allowed = places({ archives: ['s3://backups/shop', 'file:///mnt/backups/'] })
    for (const url of ['s3://backups/shop', 's3://backups/shop/2025', 'file:///mnt/backups/a/b'])
      expect(allowed.archive(url)).toEqual({ url, isOwn: false })
  })

  test.each([
    'file:///srv',
    'file:///srv/archive2',
    'file:///srv/archive/inner',
    'file:///etc',
    's3://backups',
    's3://backups/shop2',
    's3://other/backups/shop',
    'file:///mnt/backups/../../etc',
    'file:///mnt/backups/%2e%2e/other',
    'memory://backups',
    'http://169.254.169.254/latest',
    '/mnt/backups',
  ])('are no others: %s', (url) => {
    const allowed = places({ archives: ['s3://backups/shop', 'file:///mnt/backups'] })
    expect(() => allowed.archive(url)).toThrow(expect.objectContaining({ code: 'url_invalid' }))
  })

  test('of the list are archives', () => {
    expect(() => places({ archives: ['backups'] })).toThrow('is not an archive URL')
  })
})

describe('endpoints', () => {
  test('are of the hosts of the list, this machine not excepted', () => {
    const listed = places({ hosts: ['hooks.example.org', 'localhost:9000'], allowPrivate: true })
    for (const url of ['https://hooks.example.org/a', 'http://localhost:9000/'])
      expect(listed.endpoint(url)).toMatchObject({ url, allowPrivate: true })
    for (const url of [
      'http://localhost/',
      'http://localhost:9001/',
      'http://127.0.0.1:9000/',
      'http://[::1]/',
      'https://example.org/',
      'https://hooks.example.org.evil.net/',
      'https://hooks.example.org@evil.net/',
      'file:///etc/passwd',
    ])
      expect(() => listed.endpoint(url), url).toThrow(
        expect.objectContaining({ code: 'url_invalid' }),
      )
  })

  test('are none without a list', () => {
    expect(() => places().endpoint('http://127.0.0.1:8080/')).toThrow('--job-hosts')
  })
})

test('directories are below the folder that is allowed, and nowhere without one', () => {
  expect(places({ folder: '/srv/restored' }).directory('night')).toBe('/srv/restored/night')
  expect(() => places().directory('night')).toThrow('--job-dir')
})

test('what goes into the server is named, and by no name of its own', () => {
  expect(places().engineLogs(['orders'])).toEqual(['orders'])
  expect(places().engineLogs(['stratalog.streams'], { 'stratalog.streams': 'old' })).toEqual([
    'stratalog.streams',
  ])
  expect(() => places().engineLogs(undefined)).toThrow('give the logs')
  expect(() => places().engineLogs([])).toThrow('give the logs')
  expect(() => places().engineLogs(['stratalog.streams'])).toThrow(`the server's`)
  expect(() => places().engineLogs(['a'], { a: 'Stratalog.streams' })).toThrow(`the server's`)
})
