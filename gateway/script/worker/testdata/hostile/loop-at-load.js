// a loop while the module loads
for (;;);
export default () => ({})
