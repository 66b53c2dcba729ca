from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("margin", "0018_accounts_with_calls_stay")]

    operations = [
        migrations.AddField(
            model_name="warning",
            name="rung",
            field=models.CharField(default="warn", help_text="warn: the policy's warning level", max_length=16),
        ),
        migrations.RemoveConstraint(model_name="warning", name="warning_is_open_once"),
        migrations.AddConstraint(
            model_name="warning",
            constraint=models.UniqueConstraint(
                condition=models.Q(("cleared_at", None)),
                fields=("account", "regime", "rung"),
                name="warning_is_open_once",
            ),
        ),
    ]
