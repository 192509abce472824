import { describe, expect, test } from 'vitest'
import { resolveS3Connection } from '../../../src/storage/s3-settings.ts'

describe('the connection to an S3 store', () => {
  test('without settings and environment is AWS with the chain of the SDK', () => {
    expect(resolveS3Connection({}, {})).toEqual({
      endpoint: null,
      isAws: true,
      region: null,
      forcePathStyle: false,
      credentials: null,
      profile: null,
    })
  })

  test('to an endpoint that is not AWS uses path style and has a region', () => {
    const connection = resolveS3Connection({ endpoint: 'http://127.0.0.1:9000' }, {})
    expect(connection).toMatchObject({ isAws: false, forcePathStyle: true, region: 'us-east-1' })
  })

  test('to an endpoint of AWS is AWS', () => {
    const hosts = ['https://s3.eu-west-1.amazonaws.com', 'https://s3.cn-north-1.amazonaws.com.cn']
    for (const endpoint of hosts) {
      expect(resolveS3Connection({ endpoint }, {})).toMatchObject({
        isAws: true,
        forcePathStyle: false,
      })
    }
    expect(resolveS3Connection({ endpoint: 'https://amazonaws.com.evil.test' }, {}).isAws).toBe(
      false,
    )
  })

  test('takes the standard environment, the S3 endpoint before the general one', () => {
    const environment = {
      AWS_ACCESS_KEY_ID: 'id',
      AWS_SECRET_ACCESS_KEY: 'secret',
      AWS_SESSION_TOKEN: 'token',
      AWS_REGION: 'eu-west-1',
      AWS_PROFILE: 'work',
      AWS_ENDPOINT_URL: 'http://general:1',
      AWS_ENDPOINT_URL_S3: 'http://s3:2',
    }
    expect(resolveS3Connection({}, environment)).toEqual({
      endpoint: 'http://s3:2',
      isAws: false,
      region: 'eu-west-1',
      forcePathStyle: true,
      credentials: { accessKeyId: 'id', secretAccessKey: 'secret', sessionToken: 'token' },
      profile: 'work',
    })
  })

  test('prefers settings to the environment, and an empty variable is none', () => {
    const credentials = { accessKeyId: 'set', secretAccessKey: 'set' }
    const settings = { endpoint: 'http://set:1', region: 'set', forcePathStyle: false, credentials }
    const environment = { AWS_ENDPOINT_URL: 'http://other:1', AWS_REGION: 'other', AWS_PROFILE: '' }
    expect(resolveS3Connection(settings, environment)).toMatchObject({ ...settings, profile: null })
  })

  test('half a pair of credentials is none', () => {
    expect(resolveS3Connection({}, { AWS_ACCESS_KEY_ID: 'id' }).credentials).toBeNull()
  })

  test.each(['localhost:9000', 'ftp://x', 'http://user:secret@host', ''])(
    "refuses the endpoint '%s'",
    (endpoint) => {
      expect(() => resolveS3Connection({ endpoint }, {})).toThrow(
        expect.objectContaining({
          code: 'config_invalid',
          message: expect.not.stringContaining('secret') as string,
        }),
      )
    },
  )
})
