"""The queue by due time: a page of open calls reads as many rows as it shows."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("margin", "0021_charges_by_quantity")]
    operations = [
        migrations.AddIndex(
            "margincall",
            models.Index(
                fields=["due_at", "id"],
                condition=models.Q(state__in=("issued", "escalated")),
                name="queue_by_due",
            ),
        )
    ]
