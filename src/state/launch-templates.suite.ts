/** What the state promises of launch templates. Part of `state.suite.ts`. */
import { describe, expect, test } from 'vitest'
import type { LaunchTemplate } from './launch-templates.ts'
import { account, other, region } from './snapshots.suite.ts'
import type { State } from './state.ts'

export function launchTemplateTests(state: () => State): void {
  describe('launch templates', () => {
    test('have versions, which are found by their number, by what they say, and as latest and default', async () => {
      const { launchTemplates: templates } = state()
      await templates.insert(template('lt-1', { defaultVersion: 1, latestVersion: 2 }))
      await templates.insert(template('lt-2', { accountId: other, latestVersion: 1 }))
      await templates.insertVersion(version('lt-1', 1), { 'image-id': ['ami-1'], 'ebs-optimized': ['true'] })
      await templates.insertVersion(version('lt-1', 2), { 'network-card-index': ['0', '1', '1'] })
      await templates.insertVersion(version('lt-2', 1), { 'image-id': ['ami-1'] })
      const listed = async (choice: object, filter?: [name: string, value: string]) => {
        const filters = filter ? [{ name: filter[0], values: [filter[1]] }] : []
        const { items } = await templates.listVersions(region, { accountId: account, choice, filters })
        return items.map((row) => `${row.templateId} ${row.version}`)
      }
      expect(await listed({})).toEqual(['lt-1 2', 'lt-1 1'])
      expect(await listed({ isDefault: true })).toEqual(['lt-1 1'])
      expect(await listed({ isLatest: true, numbers: [1] })).toEqual(['lt-1 2', 'lt-1 1'])
      expect(await listed({ min: 2, max: 3 })).toEqual(['lt-1 2'])
      expect(await listed({}, ['image-id', 'ami-*'])).toEqual(['lt-1 1'])
      expect(await listed({}, ['network-card-index', '1'])).toEqual(['lt-1 2'])
      expect(await listed({}, ['is-default-version', 'false'])).toEqual(['lt-1 2'])
      expect([...(await templates.present('lt-1', [2, 3]))]).toEqual([2])
      await templates.removeVersion('lt-1', 2)
      expect(await templates.highest('lt-1')).toBe(1)
      expect(await templates.countVersions('lt-1')).toBe(1)
    })

    test('leave nothing when they are removed, and have one name each in an account', async () => {
      const { launchTemplates: templates } = state()
      await templates.insert(template('lt-1'))
      await templates.insertVersion(version('lt-1', 1), { 'image-id': ['ami-1'] })
      await expect(templates.insert(template('lt-3', { name: 'lt-1' }))).rejects.toThrow()
      await templates.remove('lt-1')
      expect([await templates.get('lt-1'), await templates.count(account, region)]).toEqual([undefined, 0])
      await templates.insert(template('lt-1'))
      await templates.insertVersion(version('lt-1', 1), { 'image-id': ['ami-1'] })
      expect((await templates.named(account, region, 'lt-1'))?.id).toBe('lt-1')
    })
  })
}

function template(id: string, about: Partial<LaunchTemplate> = {}): LaunchTemplate {
  const place = { accountId: account, region, name: id, createdAt: 1000 }
  return { id, ...place, defaultVersion: 1, latestVersion: 1, versionsMade: 2, ...about }
}

const version = (templateId: string, number: number) => ({
  ...{ templateId, version: number, description: null, data: '{}', createdAt: 1000 + number },
})
